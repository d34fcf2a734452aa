"""Average temperatures of office_db: windows, and the three engines that fill lake/temperature_averages."""

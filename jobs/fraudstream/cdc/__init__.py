"""Reading change events. The only folder that knows Debezium."""

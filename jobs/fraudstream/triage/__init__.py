"""What people do with alerts: labels, cases, snoozes, and how good the rules are by the labels."""

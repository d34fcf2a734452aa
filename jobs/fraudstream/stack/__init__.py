"""The local stack: PostgreSQL, Kafka, Connect and Debezium as plain processes."""

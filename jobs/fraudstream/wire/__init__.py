"""Reading topics by Kafka's own protocol: batches of records as bytes, without an object for each message."""

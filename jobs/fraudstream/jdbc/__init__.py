"""Reading PostgreSQL with Spark's JDBC source, and the exercise's five queries over it."""

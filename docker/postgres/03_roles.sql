-- Least privilege: capture reads the change stream, batch reads the tables, app writes them. Passwords: 04.
CREATE ROLE capture LOGIN REPLICATION CONNECTION LIMIT 10;
CREATE ROLE batch LOGIN NOINHERIT;
CREATE ROLE app LOGIN;
ALTER ROLE batch SET default_transaction_read_only = on;
ALTER ROLE batch SET statement_timeout = '10min';

REVOKE CONNECT, TEMPORARY ON DATABASE mydb, office_db, postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE mydb, office_db TO capture, batch, app;

\connect mydb
GRANT USAGE ON SCHEMA dbz TO capture;
GRANT SELECT ON public.transactions, public.people_big TO capture, batch;
GRANT SELECT, UPDATE ON dbz.heartbeat TO capture;
GRANT SELECT, INSERT, DELETE ON dbz.signal TO capture;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.transactions TO app;
GRANT USAGE ON SEQUENCE public.transactions_id_seq TO app;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, MAINTAIN ON public.people_big TO app;
GRANT USAGE, UPDATE ON SEQUENCE public.people_big_id_seq TO app;
GRANT USAGE ON SCHEMA truth TO app;
GRANT SELECT, INSERT, DELETE ON truth.frauds TO app;

\connect office_db
GRANT USAGE ON SCHEMA dbz TO capture;
GRANT SELECT ON public.temperature_readings TO capture, batch;
GRANT SELECT, UPDATE ON dbz.heartbeat TO capture;
GRANT SELECT, INSERT, DELETE ON dbz.signal TO capture;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.temperature_readings TO app;
GRANT USAGE ON SEQUENCE public.temperature_readings_id_seq TO app;

-- The exercise's database of temperatures.
CREATE DATABASE office_db;
\connect office_db
CREATE TABLE public.temperature_readings (
    id serial PRIMARY KEY,
    sensor_id varchar(50),
    temperature float,
    recorded_at timestamp DEFAULT current_timestamp
);
ALTER TABLE public.temperature_readings REPLICA IDENTITY FULL;

CREATE SCHEMA dbz;
CREATE TABLE dbz.heartbeat (id int PRIMARY KEY, ts timestamptz NOT NULL DEFAULT now());
INSERT INTO dbz.heartbeat (id) VALUES (1);
CREATE TABLE dbz.signal (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));

CREATE PUBLICATION office_publication
    FOR TABLE public.temperature_readings, dbz.heartbeat, dbz.signal
    WITH (publish = 'insert, update, delete, truncate');

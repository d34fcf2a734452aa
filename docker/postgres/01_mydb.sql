-- The exercise's database of transactions.
CREATE DATABASE mydb;
\connect mydb
CREATE TABLE public.transactions (
    id serial PRIMARY KEY,
    user_id int NOT NULL,
    amount numeric(10,2) NOT NULL,
    card_type varchar(20),
    merchant_id int,
    created_at timestamp DEFAULT current_timestamp
);
-- Updates and deletes carry the whole old row; message.key.columns on a column outside the primary key needs it.
ALTER TABLE public.transactions REPLICA IDENTITY FULL;

-- The earlier exercise's table of people, empty until produce_people fills it.
CREATE TABLE public.people_big (
    id serial PRIMARY KEY,
    first_name text,
    last_name text,
    gender text,
    department text,
    salary integer,
    country text
);

CREATE SCHEMA dbz;
CREATE TABLE dbz.heartbeat (id int PRIMARY KEY, ts timestamptz NOT NULL DEFAULT now());
INSERT INTO dbz.heartbeat (id) VALUES (1), (2);  -- a row of each connector
CREATE TABLE dbz.signal (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));

-- What the producer knows and the pipeline must not see.
CREATE SCHEMA truth;
CREATE TABLE truth.frauds (transaction_id int NOT NULL, kind text NOT NULL);

CREATE PUBLICATION fraud_publication
    FOR TABLE public.transactions, dbz.heartbeat, dbz.signal
    WITH (publish = 'insert, update, delete, truncate');
CREATE PUBLICATION people_publication
    FOR TABLE public.people_big, dbz.heartbeat, dbz.signal
    WITH (publish = 'insert, update, delete, truncate');

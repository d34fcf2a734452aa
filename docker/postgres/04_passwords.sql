-- Passwords come from the environment, never from a file in git. Safe to run again, after a change of one.
\getenv capture_password FRAUDSTREAM_CAPTURE_PASSWORD
\getenv batch_password FRAUDSTREAM_BATCH_PASSWORD
\getenv app_password FRAUDSTREAM_APP_PASSWORD
ALTER ROLE capture PASSWORD :'capture_password';
ALTER ROLE batch PASSWORD :'batch_password';
ALTER ROLE app PASSWORD :'app_password';

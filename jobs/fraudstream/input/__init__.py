"""Writers of transactions and temperatures, with a ledger of what was committed."""

"""The demo site: `make demo` shows what it does, `make serve` leaves it running."""

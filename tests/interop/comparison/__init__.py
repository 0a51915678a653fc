"""What two brokers answer to the same frames: see ../compare_brokers.py."""

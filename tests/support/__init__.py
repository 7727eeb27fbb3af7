"""What the integration tests stand on: real daemons on loopback, faults on request."""

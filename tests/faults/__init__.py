"""A seeded schedule of faults over real builds, and what must hold after each."""

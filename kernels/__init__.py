"""Arrays in, arrays out: what the engine calls where it was measured to pay, each with a plain reference."""

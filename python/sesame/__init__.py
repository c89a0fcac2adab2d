"""What the wheel of sesame holds beside the program: a driver for Spark."""

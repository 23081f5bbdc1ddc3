"""METEOR 1.5 in Python, to the last digit of the Java program."""

"""Speech of espeak-ng, a program on this machine."""

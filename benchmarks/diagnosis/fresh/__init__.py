"""The fresh part: other networks, other strengths and other ways of planting the same causes."""

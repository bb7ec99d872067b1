"""The stage rca: Dice predicted without references (reverse classification accuracy)."""

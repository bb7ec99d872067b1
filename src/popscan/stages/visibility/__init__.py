"""The stage visibility: how well attributes can be predicted, and from where."""

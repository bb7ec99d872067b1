"""Between the runner and the stages: what a stage reads, which function it calls, what it writes.

The only package that knows files, stages and tables at once. Numerics live in the stages.
"""

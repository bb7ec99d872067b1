"""The report's pictures: functions from plain data to inline SVG or PNG, without files.

Every figure comes with a text alternative and the same input gives the same bytes.
"""

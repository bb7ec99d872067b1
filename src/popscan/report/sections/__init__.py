"""The report's sections: each a function from the study's context to a `Section`."""

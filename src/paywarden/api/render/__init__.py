"""What answers look like, by noun: TypedDicts, which the type checker and the OpenAPI document both read."""

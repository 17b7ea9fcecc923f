"""Every contract that crosses a process: statements, manifest, signatures, records, errors."""

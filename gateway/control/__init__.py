"""The control plane: what operators and holders of tenants' keys do over HTTP, under `/outlay/v1`."""

"""Sparse CSR matrices from coordinates, the one place that builds them."""

from __future__ import annotations

import warnings

import torch


def csr_matrix(rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, size: int) -> torch.Tensor:
    """Square CSR matrix (size, size); repeated coordinates add up."""
    index = torch.stack([rows, columns])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        coo = torch.sparse_coo_tensor(index, values, (size, size), check_invariants=False)
        return coo.coalesce().to_sparse_csr()

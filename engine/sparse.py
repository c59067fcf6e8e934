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
        return _narrow(coo.coalesce().to_sparse_csr())


def _narrow(matrix: torch.Tensor) -> torch.Tensor:
    """32-bit indices where they suffice: products are bound by memory traffic."""
    if max(matrix._nnz(), matrix.shape[0]) >= 2**31:
        return matrix
    return torch.sparse_csr_tensor(
        matrix.crow_indices().int(), matrix.col_indices().int(), matrix.values(), matrix.shape, check_invariants=False
    )

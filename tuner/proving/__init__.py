"""Proving remedies: the faulty config against each change, as replicates of the same seeds."""

from tuner.proving.in_memory import prove_in_memory
from tuner.proving.proof import Proof, Tried, Verdict
from tuner.proving.replicated import InterruptedProofError, UnendedProofError, prove

__all__ = [
    "InterruptedProofError",
    "Proof",
    "Tried",
    "UnendedProofError",
    "Verdict",
    "prove",
    "prove_in_memory",
]

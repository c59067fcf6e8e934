"""Learned force fields: data, networks, training, evaluation, and the force that a trained network gives."""

"""Pretrained networks as plain modules, each with a loader that reads the catalogue's verified files."""

from merkit.networks.mtcnn import MTCNNNets, ONet, PNet, RNet, load_mtcnn

__all__ = ["MTCNNNets", "ONet", "PNet", "RNet", "load_mtcnn"]

"""Tests of node types and providers."""

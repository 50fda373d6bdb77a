"""Code that runs models: on this machine or behind the Open Inference Protocol, with one way to read their outputs."""

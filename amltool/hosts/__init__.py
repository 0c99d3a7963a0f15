"""Hosts: machines where files lie and commands run."""

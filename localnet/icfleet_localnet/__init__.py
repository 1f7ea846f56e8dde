"""An embedded local network: the IC's HTTP protocol, certificates, rounds and a Kybra host."""

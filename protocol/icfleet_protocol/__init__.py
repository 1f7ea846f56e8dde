"""The Internet Computer's wire protocol without any I/O: ids, requests, certificates, Candid."""

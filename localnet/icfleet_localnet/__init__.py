"""A local network: the Internet Computer's protocol and semantics in one Python process.

From the inside out; each layer knows only those above it in this list:

- the host: ``kybra_host`` runs one canister's sources, ``process_host`` the same in a process of
  its own, both behind ``executor``;
- the core, which does no I/O and is given time and chance: ``network`` of ``subnet``, with
  ``execution`` and ``queries`` of messages, ``management``, ``charging``, ``certification``;
- models and faults, as values and decisions: ``profiles``, ``thread_model``, ``fees``,
  ``fault_rules``, ``faults``;
- the shell: ``http_interface`` turns requests into the core's words, ``http_app`` and
  ``http_server`` speak HTTP, ``round_driver`` makes time pass, ``recorder`` keeps the state,
  ``admin_app`` is the operator's port, ``server`` puts them together.
"""

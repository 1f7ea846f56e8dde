"""The management canister's Candid interface, as far as it is served here.

Source: dfinity/developer-docs ``public/references/ic.did`` of 2026-08-17; ``log_memory_limit`` and
the filter of ``fetch_canister_logs`` as dfinity/ic has them.
"""

from icfleet_protocol.candid import parse_did

__all__ = ["MANAGEMENT_INTERFACE"]

_DID = """
type visibility = variant { controllers; public; allowed_viewers : vec principal };
type environment_variable = record { name : text; value : text };
type canister_settings = record {
  controllers : opt vec principal;
  compute_allocation : opt nat;
  memory_allocation : opt nat;
  freezing_threshold : opt nat;
  reserved_cycles_limit : opt nat;
  minimum_incoming_canister_call_cycles : opt nat;
  log_visibility : opt visibility;
  log_memory_limit : opt nat;
  snapshot_visibility : opt visibility;
  status_visibility : opt visibility;
  wasm_memory_limit : opt nat;
  wasm_memory_threshold : opt nat;
  environment_variables : opt vec environment_variable;
};
type definite_settings = record {
  controllers : vec principal;
  compute_allocation : nat;
  memory_allocation : nat;
  freezing_threshold : nat;
  reserved_cycles_limit : nat;
  minimum_incoming_canister_call_cycles : nat;
  log_visibility : visibility;
  log_memory_limit : nat;
  snapshot_visibility : visibility;
  status_visibility : visibility;
  wasm_memory_limit : nat;
  wasm_memory_threshold : nat;
  environment_variables : vec environment_variable;
};
type install_mode = variant {
  install;
  reinstall;
  upgrade : opt record {
    skip_pre_upgrade : opt bool;
    wasm_memory_persistence : opt variant { keep; replace };
  };
};
type chunk_hash = record { hash : blob };
type target = record { canister_id : principal };
type canister_status_result = record {
  status : variant { running; stopping; stopped };
  ready_for_migration : bool;
  version : nat64;
  settings : definite_settings;
  module_hash : opt blob;
  memory_size : nat;
  memory_metrics : record {
    wasm_memory_size : nat;
    stable_memory_size : nat;
    global_memory_size : nat;
    wasm_binary_size : nat;
    custom_sections_size : nat;
    canister_history_size : nat;
    wasm_chunk_store_size : nat;
    snapshots_size : nat;
    log_memory_store_size : nat;
  };
  cycles : nat;
  reserved_cycles : nat;
  idle_cycles_burned_per_day : nat;
  query_stats : record {
    num_calls_total : nat;
    num_instructions_total : nat;
    request_payload_bytes_total : nat;
    response_payload_bytes_total : nat;
  };
};
type cycles_consumed = record {
  memory : nat;
  compute_allocation : nat;
  ingress_induction : nat;
  instructions : nat;
  request_and_response_transmission : nat;
  uninstall : nat;
  canister_creation : nat;
  http_outcalls : nat;
  burned_cycles : nat;
};
type change_origin = variant {
  from_user : record { user_id : principal };
  from_canister : record { canister_id : principal; canister_version : opt nat64 };
};
type change_details = variant {
  creation : record { controllers : vec principal; environment_variables_hash : opt blob };
  code_uninstall;
  code_deployment : record {
    mode : variant { install; reinstall; upgrade };
    module_hash : blob;
  };
  controllers_change : record { controllers : vec principal };
};
type change = record {
  timestamp_nanos : nat64;
  canister_version : nat64;
  origin : change_origin;
  details : change_details;
};
type log_range = record { start : nat64; end : nat64 };
type log_record = record { idx : nat64; timestamp_nanos : nat64; content : blob };
service : {
  provisional_create_canister_with_cycles : (record {
    amount : opt nat;
    settings : opt canister_settings;
    specified_id : opt principal;
    sender_canister_version : opt nat64;
  }) -> (target);
  provisional_top_up_canister : (record { canister_id : principal; amount : nat }) -> ();
  create_canister : (record {
    settings : opt canister_settings;
    sender_canister_version : opt nat64;
  }) -> (target);
  deposit_cycles : (target) -> ();
  update_settings : (record {
    canister_id : principal;
    settings : canister_settings;
    sender_canister_version : opt nat64;
  }) -> ();
  install_code : (record {
    mode : install_mode;
    canister_id : principal;
    wasm_module : blob;
    arg : blob;
    sender_canister_version : opt nat64;
  }) -> ();
  install_chunked_code : (record {
    mode : install_mode;
    target_canister : principal;
    store_canister : opt principal;
    chunk_hashes_list : vec chunk_hash;
    wasm_module_hash : blob;
    arg : blob;
    sender_canister_version : opt nat64;
  }) -> ();
  upload_chunk : (record { canister_id : principal; chunk : blob }) -> (chunk_hash);
  clear_chunk_store : (target) -> ();
  stored_chunks : (target) -> (vec chunk_hash);
  uninstall_code : (record {
    canister_id : principal;
    sender_canister_version : opt nat64;
  }) -> ();
  start_canister : (target) -> ();
  stop_canister : (target) -> ();
  delete_canister : (target) -> ();
  canister_status : (target) -> (canister_status_result) query;
  canister_metrics : (target) -> (record { cycles_consumed : cycles_consumed }) query;
  fetch_canister_logs : (record {
    canister_id : principal;
    filter : opt variant { by_idx : log_range; by_timestamp_nanos : log_range };
  }) -> (record { canister_log_records : vec log_record }) query;
  canister_info : (record {
    canister_id : principal;
    num_requested_changes : opt nat64;
  }) -> (record {
    total_num_changes : nat64;
    recent_changes : vec change;
    module_hash : opt blob;
    controllers : vec principal;
  });
  canister_metadata : (record { canister_id : principal; name : text }) -> (record {
    value : blob;
  });
  raw_rand : () -> (blob);
}
"""
MANAGEMENT_INTERFACE = parse_did(_DID)

"""The fields of the Kubernetes objects that pod specs are made of, by the client's names, in the order in which its classes take them."""

_TABLE = """
V1AWSElasticBlockStoreVolumeSource: fs_type partition read_only volume_id
V1Affinity: node_affinity pod_affinity pod_anti_affinity
V1AppArmorProfile: localhost_profile type
V1AzureDiskVolumeSource: caching_mode disk_name disk_uri fs_type kind read_only
V1AzureFileVolumeSource: read_only secret_name share_name
V1CSIVolumeSource: driver fs_type node_publish_secret_ref read_only volume_attributes
V1Capabilities: add drop
V1CephFSVolumeSource: monitors path read_only secret_file secret_ref user
V1CinderVolumeSource: fs_type read_only secret_ref volume_id
V1ClusterTrustBundleProjection: label_selector name optional path signer_name
V1ConfigMap: api_version binary_data data immutable kind metadata
V1ConfigMapEnvSource: name optional
V1ConfigMapKeySelector: key name optional
V1ConfigMapProjection: items name optional
V1ConfigMapVolumeSource: default_mode items name optional
V1Container: args command env env_from image image_pull_policy lifecycle liveness_probe name ports readiness_probe resize_policy
    resources restart_policy restart_policy_rules security_context startup_probe stdin stdin_once termination_message_path
    termination_message_policy tty volume_devices volume_mounts working_dir
V1ContainerExtendedResourceRequest: container_name request_name resource_name
V1ContainerPort: container_port host_ip host_port name protocol
V1ContainerResizePolicy: resource_name restart_policy
V1ContainerRestartRule: action exit_codes
V1ContainerRestartRuleOnExitCodes: operator values
V1ContainerState: running terminated waiting
V1ContainerStateRunning: started_at
V1ContainerStateTerminated: container_id exit_code finished_at message reason signal started_at
V1ContainerStateWaiting: message reason
V1ContainerStatus: allocated_resources allocated_resources_status container_id image image_id last_state name ready resources
    restart_count started state stop_signal user volume_mounts
V1ContainerUser: linux
V1DownwardAPIProjection: items
V1DownwardAPIVolumeFile: field_ref mode path resource_field_ref
V1DownwardAPIVolumeSource: default_mode items
V1EmptyDirVolumeSource: medium size_limit
V1EnvFromSource: config_map_ref prefix secret_ref
V1EnvVar: name value value_from
V1EnvVarSource: config_map_key_ref field_ref file_key_ref resource_field_ref secret_key_ref
V1EphemeralContainer: args command env env_from image image_pull_policy lifecycle liveness_probe name ports readiness_probe
    resize_policy resources restart_policy restart_policy_rules security_context startup_probe stdin stdin_once target_container_name
    termination_message_path termination_message_policy tty volume_devices volume_mounts working_dir
V1EphemeralVolumeSource: volume_claim_template
V1ExecAction: command
V1FCVolumeSource: fs_type lun read_only target_wwns wwids
V1FileKeySelector: key optional path volume_name
V1FlexVolumeSource: driver fs_type options read_only secret_ref
V1FlockerVolumeSource: dataset_name dataset_uuid
V1GCEPersistentDiskVolumeSource: fs_type partition pd_name read_only
V1GRPCAction: port service
V1GitRepoVolumeSource: directory repository revision
V1GlusterfsVolumeSource: endpoints path read_only
V1HTTPGetAction: host http_headers path port scheme
V1HTTPHeader: name value
V1HostAlias: hostnames ip
V1HostIP: ip
V1HostPathVolumeSource: path type
V1ISCSIVolumeSource: chap_auth_discovery chap_auth_session fs_type initiator_name iqn iscsi_interface lun portals read_only secret_ref
    target_portal
V1ImageVolumeSource: pull_policy reference
V1ImageVolumeStatus: image_ref
V1Job: api_version kind metadata spec status
V1JobCondition: last_probe_time last_transition_time message reason status type
V1JobSpec: active_deadline_seconds backoff_limit backoff_limit_per_index completion_mode completions managed_by manual_selector
    max_failed_indexes parallelism pod_failure_policy pod_replacement_policy selector success_policy suspend template
    ttl_seconds_after_finished
V1JobStatus: active completed_indexes completion_time conditions failed failed_indexes ready start_time succeeded terminating
    uncounted_terminated_pods
V1KeyToPath: key mode path
V1LabelSelector: match_expressions match_labels
V1LabelSelectorRequirement: key operator values
V1Lifecycle: post_start pre_stop stop_signal
V1LifecycleHandler: _exec http_get sleep tcp_socket
V1LinuxContainerUser: gid supplemental_groups uid
V1LocalObjectReference: name
V1ManagedFieldsEntry: api_version fields_type fields_v1 manager operation subresource time
V1ModifyVolumeStatus: status target_volume_attributes_class_name
V1NFSVolumeSource: path read_only server
V1NodeAffinity: preferred_during_scheduling_ignored_during_execution required_during_scheduling_ignored_during_execution
V1NodeAllocatableResourceClaimStatus: containers resource_claim_name resources
V1NodeSelector: node_selector_terms
V1NodeSelectorRequirement: key operator values
V1NodeSelectorTerm: match_expressions match_fields
V1ObjectFieldSelector: api_version field_path
V1ObjectMeta: annotations creation_timestamp deletion_grace_period_seconds deletion_timestamp finalizers generate_name generation labels
    managed_fields name namespace owner_references resource_version self_link uid
V1OwnerReference: api_version block_owner_deletion controller kind name uid
V1PersistentVolumeClaim: api_version kind metadata spec status
V1PersistentVolumeClaimCondition: last_probe_time last_transition_time message reason status type
V1PersistentVolumeClaimSpec: access_modes data_source data_source_ref resources selector storage_class_name volume_attributes_class_name
    volume_mode volume_name
V1PersistentVolumeClaimStatus: access_modes allocated_resource_statuses allocated_resources capacity conditions
    current_volume_attributes_class_name modify_volume_status phase
V1PersistentVolumeClaimTemplate: metadata spec
V1PersistentVolumeClaimVolumeSource: claim_name read_only
V1PhotonPersistentDiskVolumeSource: fs_type pd_id
V1Pod: api_version kind metadata spec status
V1PodAffinity: preferred_during_scheduling_ignored_during_execution required_during_scheduling_ignored_during_execution
V1PodAffinityTerm: label_selector match_label_keys mismatch_label_keys namespace_selector namespaces topology_key
V1PodAntiAffinity: preferred_during_scheduling_ignored_during_execution required_during_scheduling_ignored_during_execution
V1PodCertificateProjection: certificate_chain_path credential_bundle_path key_path key_type max_expiration_seconds signer_name
    user_annotations
V1PodCondition: last_probe_time last_transition_time message observed_generation reason status type
V1PodDNSConfig: nameservers options searches
V1PodDNSConfigOption: name value
V1PodExtendedResourceClaimStatus: request_mappings resource_claim_name
V1PodFailurePolicy: rules
V1PodFailurePolicyOnExitCodesRequirement: container_name operator values
V1PodFailurePolicyOnPodConditionsPattern: status type
V1PodFailurePolicyRule: action on_exit_codes on_pod_conditions
V1PodIP: ip
V1PodOS: name
V1PodReadinessGate: condition_type
V1PodResourceClaim: name resource_claim_name resource_claim_template_name
V1PodResourceClaimStatus: name resource_claim_name
V1PodSchedulingGate: name
V1PodSchedulingGroup: pod_group_name
V1PodSecurityContext: app_armor_profile fs_group fs_group_change_policy run_as_group run_as_non_root run_as_user se_linux_change_policy
    se_linux_options seccomp_profile supplemental_groups supplemental_groups_policy sysctls windows_options
V1PodSpec: active_deadline_seconds affinity automount_service_account_token containers dns_config dns_policy enable_service_links
    ephemeral_containers host_aliases host_ipc host_network host_pid host_users hostname hostname_override image_pull_secrets
    init_containers node_name node_selector os overhead preemption_policy priority priority_class_name readiness_gates resource_claims
    resources restart_policy runtime_class_name scheduler_name scheduling_gates scheduling_group security_context service_account
    service_account_name set_hostname_as_fqdn share_process_namespace subdomain termination_grace_period_seconds tolerations
    topology_spread_constraints volumes
V1PodStatus: allocated_resources conditions container_statuses ephemeral_container_statuses extended_resource_claim_status host_ip
    host_ips init_container_statuses message node_allocatable_resource_claim_statuses nominated_node_name observed_generation phase
    pod_ip pod_ips qos_class reason resize resource_claim_statuses resources start_time
V1PodTemplateSpec: metadata spec
V1PortworxVolumeSource: fs_type read_only volume_id
V1PreferredSchedulingTerm: preference weight
V1Probe: _exec failure_threshold grpc http_get initial_delay_seconds period_seconds success_threshold tcp_socket
    termination_grace_period_seconds timeout_seconds
V1ProjectedVolumeSource: default_mode sources
V1QuobyteVolumeSource: group read_only registry tenant user volume
V1RBDVolumeSource: fs_type image keyring monitors pool read_only secret_ref user
V1ResourceFieldSelector: container_name divisor resource
V1ResourceHealth: health message resource_id
V1ResourceRequirements: claims limits requests
V1ResourceStatus: name resources
V1SELinuxOptions: level role type user
V1ScaleIOVolumeSource: fs_type gateway protection_domain read_only secret_ref ssl_enabled storage_mode storage_pool system volume_name
V1SeccompProfile: localhost_profile type
V1Secret: api_version data immutable kind metadata string_data type
V1SecretEnvSource: name optional
V1SecretKeySelector: key name optional
V1SecretProjection: items name optional
V1SecretVolumeSource: default_mode items optional secret_name
V1SecurityContext: allow_privilege_escalation app_armor_profile capabilities privileged proc_mount read_only_root_filesystem
    run_as_group run_as_non_root run_as_user se_linux_options seccomp_profile windows_options
V1ServiceAccountTokenProjection: audience expiration_seconds path
V1SleepAction: seconds
V1StorageOSVolumeSource: fs_type read_only secret_ref volume_name volume_namespace
V1SuccessPolicy: rules
V1SuccessPolicyRule: succeeded_count succeeded_indexes
V1Sysctl: name value
V1TCPSocketAction: host port
V1Toleration: effect key operator toleration_seconds value
V1TopologySpreadConstraint: label_selector match_label_keys max_skew min_domains node_affinity_policy node_taints_policy topology_key
    when_unsatisfiable
V1TypedLocalObjectReference: api_group kind name
V1TypedObjectReference: api_group kind name namespace
V1UncountedTerminatedPods: failed succeeded
V1Volume: aws_elastic_block_store azure_disk azure_file cephfs cinder config_map csi downward_api empty_dir ephemeral fc flex_volume
    flocker gce_persistent_disk git_repo glusterfs host_path image iscsi name nfs persistent_volume_claim photon_persistent_disk
    portworx_volume projected quobyte rbd scale_io secret storageos vsphere_volume
V1VolumeDevice: device_path name
V1VolumeMount: mount_path mount_propagation name read_only recursive_read_only sub_path sub_path_expr
V1VolumeMountStatus: mount_path name read_only recursive_read_only volume_status
V1VolumeProjection: cluster_trust_bundle config_map downward_api pod_certificate secret service_account_token
V1VolumeResourceRequirements: limits requests
V1VolumeStatus: image
V1VsphereVirtualDiskVolumeSource: fs_type storage_policy_id storage_policy_name volume_path
V1WeightedPodAffinityTerm: pod_affinity_term weight
V1WindowsSecurityContextOptions: gmsa_credential_spec gmsa_credential_spec_name host_process run_as_user_name
"""


def _read():
    fields = {}
    for line in _TABLE.splitlines():
        if line.startswith(" "):
            fields[name] += line.split()
        elif line:
            name, _, rest = line.partition(":")
            fields[name] = rest.split()
    return fields


FIELDS = _read()

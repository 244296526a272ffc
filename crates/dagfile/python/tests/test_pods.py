"""KubernetesPodOperator's arguments."""

from reader import FileCase

HEAD = """
from airflow.sdk import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from kubernetes.client import models as k8s
from datetime import timedelta
with DAG("d") as dag:
    KubernetesPodOperator(task_id="a", %s)
"""


class Pods(FileCase):
    def run_of(self, arguments, head=HEAD):
        """The run of a pod task with these arguments."""
        return self.dag(head % arguments)["tasks"][0]["run"]

    def rest(self, arguments):
        """What goes into `rest`."""
        return self.run_of(arguments).get("rest")

    def test_nothing_given(self):
        self.assertEqual(self.run_of(""), {"kind": "pod", "on_finish_action": "delete_pod", "do_xcom_push": False})

    def test_everything_that_has_a_field(self):
        self.assertEqual(self.run_of("""
            image="i", name="n", namespace="ns", cmds=["sh"], arguments=["-c", 1], labels={"b": 1, "a": "x"}, annotations={"k": "v"},
            env_vars=[k8s.V1EnvVar(name="B", value="1"), {"name": "A", "value": 2}, k8s.V1EnvVar(name="C",
                value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="status.podIP")))],
            container_resources=k8s.V1ResourceRequirements(requests={"memory": "1Gi"}, limits={"cpu": 1}),
            on_finish_action="delete_succeeded_pod", do_xcom_push=True, skip_on_exit_code=99"""), {
            "kind": "pod", "image": "i", "name": "n", "namespace": "ns", "cmds": ["sh"], "arguments": ["-c", "1"],
            "env_vars": [{"name": "B", "value": "1"}, {"name": "A", "value": "2"},
                         {"name": "C", "value_from": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "labels": {"a": "x", "b": "1"}, "annotations": {"k": "v"},
            "container_resources": {"requests": {"memory": "1Gi"}, "limits": {"cpu": 1}}, "on_finish_action": "delete_succeeded_pod",
            "do_xcom_push": True, "skip_on_exit_code": [99],
        })

    def test_old_names(self):
        for given, action in [("is_delete_operator_pod=True", "delete_pod"), ("is_delete_operator_pod=False", "keep_pod"),
                              ("on_finish_action='keep_pod', is_delete_operator_pod=True", "keep_pod")]:
            self.assertEqual(self.run_of(given)["on_finish_action"], action)
        run = self.run_of("resources={'request_memory': '1Gi', 'limit_gpu': 1}, node_selectors={'disk': 'ssd'}, xcom_push=True, "
                          "env_vars={'B': 1, 'A': '2'}, image_pull_secrets='a, b', hostnetwork=False, in_cluster=True, get_logs=True")
        self.assertEqual(run["container_resources"], {"requests": {"memory": "1Gi"}, "limits": {"nvidia.com/gpu": 1}})
        self.assertEqual(run["env_vars"], [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}])
        self.assertEqual(run["rest"], {"image_pull_secrets": [{"name": "a"}, {"name": "b"}], "node_selector": {"disk": "ssd"}})
        self.assertTrue(run["do_xcom_push"])

    def test_the_rest(self):
        self.assertEqual(self.rest("""
            volumes=[k8s.V1Volume(name="v", persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="c"))],
            volume_mounts=[k8s.V1VolumeMount(name="v", mount_path="/v", sub_path=None, read_only=True)],
            affinity={"nodeAffinity": {"x": 1}}, tolerations=[k8s.V1Toleration(key="k", operator="Exists")], hostnetwork=True,
            security_context=k8s.V1PodSecurityContext(run_as_user=1000), dnspolicy="ClusterFirst",
            startup_timeout_seconds=timedelta(minutes=5),
            ports=[k8s.V1ContainerPort(container_port=80)], service_account_name="s", image_pull_policy="Always",
            init_containers=[k8s.V1Container(name="i", image="x", env=[k8s.V1EnvVar(name="E", value="")])],
            full_pod_spec=k8s.V1Pod(spec=k8s.V1PodSpec(host_ipc=True, containers=[])), termination_grace_period=5"""), {
            "affinity": {"nodeAffinity": {"x": 1}}, "dnspolicy": "ClusterFirst", "full_pod_spec": {"spec": {"hostIPC": True,
                "containers": []}},
            "hostnetwork": True, "image_pull_policy": "Always",
            "init_containers": [{"name": "i", "image": "x", "env": [{"name": "E", "value": ""}]}], "ports": [{"containerPort": 80}],
            "security_context": {"runAsUser": 1000}, "service_account_name": "s", "startup_timeout_seconds": 300,
            "termination_grace_period": 5, "tolerations": [{"key": "k", "operator": "Exists"}],
            "volume_mounts": [{"name": "v", "mountPath": "/v", "readOnly": True}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
        })

    def test_secrets_and_configmaps_become_what_the_pod_is_made_of(self):
        run = self.run_of("secrets=[Secret('env', 'pw', 's', 'k'), Secret('env', None, 'all'), Secret('volume', '/etc/s', 's2', 'key')], "
                          "configmaps=['c'], env_vars={'A': '1'}")
        self.assertEqual(run["env_vars"], [{"name": "A", "value": "1"}, {"name": "PW", "value_from": {"secretKeyRef": {"name": "s",
            "key": "k"}}}])
        self.assertEqual(run["rest"], {
            "env_from": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "all"}}],
            "volumes": [{"name": "secretvol0", "secret": {"secretName": "s2"}}],
            "volume_mounts": [{"name": "secretvol0", "mountPath": "/etc/s", "readOnly": True}],
        })

    def test_classes_of_airflow_1(self):
        head = HEAD.replace("from datetime", "from airflow.contrib.kubernetes.volume import Volume\n"
                            "from airflow.contrib.kubernetes.volume_mount import VolumeMount\nfrom airflow.kubernetes.pod import Port\nfrom datetime", 1)
        run = self.run_of("volumes=[Volume('v', {'persistentVolumeClaim': {'claimName': 'c'}})], "
                          "volume_mounts=[VolumeMount('v', mount_path='/v', sub_path=None, read_only=True)], ports=[Port('http', 80)]",
                          head)
        self.assertEqual(run["rest"], {
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
            "volume_mounts": [{"name": "v", "mountPath": "/v", "readOnly": True}], "ports": [{"name": "http", "containerPort": 80}],
        })

    def test_template_files_beside_the_file(self):
        self.write("templates/pod.yaml", "kind: Pod\n")
        self.write("run.sh", "echo {{ ds }}\n")
        answer = self.read(HEAD % "pod_template_file=__import__('os').path.dirname(__file__) + '/templates/pod.yaml', image='i'"
                           + "    from airflow.operators.bash import BashOperator\n    BashOperator(task_id='b', bash_command='run.sh')\n"
                           + "    BashOperator(task_id='c', bash_command='nope.sh')\n")
        rest = answer["dags"][0]["tasks"][0]["run"]["rest"]
        self.assertEqual(rest["pod_template_text"], "kind: Pod\n")
        self.assertEqual(answer["dags"][0]["tasks"][1]["run"]["bash_command"], "echo {{ ds }}\n")
        self.assertEqual(answer["dags"][0]["tasks"][2]["run"]["bash_command"], "nope.sh")
        self.assertEqual(answer["modules"], [self.root + "/run.sh", self.root + "/templates/pod.yaml"])
        self.assertIn("'nope.sh'", answer["warnings"][0]["message"])

    def test_subclasses_keep_their_parameters(self):
        task = self.dag("""
            from airflow.sdk import DAG
            from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
            class Team(KubernetesPodOperator):
                template_fields = KubernetesPodOperator.template_fields + ("team",)
                def __init__(self, team, size=1, **kwargs):
                    kwargs.setdefault("image", "registry/" + team)
                    super().__init__(labels={"team": team, "size": size}, **kwargs)
                    self.team = team
            with DAG("d", default_args={"team": "red", "size": 3, "namespace": "n"}):
                Team(task_id="a")
        """, name="sub/teams.py")["tasks"][0]
        self.assertEqual((task["operator"], task["operator_module"]), ("Team", "sub.teams"))
        self.assertEqual((task["run"]["image"], task["run"]["labels"], task["run"]["namespace"]),
                         ("registry/red", {"size": "3", "team": "red"}, "n"))
        self.assertEqual(task["template_fields"][-1], "team")

// The rows of a grid: tasks in their groups. A group is what stands before a dot of the task's name, as in Airflow.

export interface Row {
  kind: "task" | "group";
  id: string;
  label: string;
  depth: number;
  /** Positions of the tasks that it shows, in the list that was given. */
  members: number[];
  open?: boolean;
}

interface Node {
  id: string;
  label: string;
  members: number[];
  children: (Node | number)[];
}

export function rowsOf(ids: string[], folded: ReadonlySet<string>): Row[] {
  const root: Node = { id: "", label: "", members: [], children: [] };
  const groups = new Map<string, Node>([["", root]]);
  // A prefix that only one task has is a name with a dot, not a group.
  const counts = new Map<string, number>();
  for (const id of ids) for (let at = id.indexOf("."); at > 0; at = id.indexOf(".", at + 1)) counts.set(id.slice(0, at), (counts.get(id.slice(0, at)) ?? 0) + 1);
  ids.forEach((id, index) => {
    let parent = root;
    for (let at = id.indexOf("."); at > 0; at = id.indexOf(".", at + 1)) {
      const name = id.slice(0, at);
      if ((counts.get(name) ?? 0) < 2) continue;
      let group = groups.get(name);
      if (!group) {
        group = { id: name, label: parent.id ? name.slice(parent.id.length + 1) : name, members: [], children: [] };
        groups.set(name, group);
        parent.children.push(group);
      }
      group.members.push(index);
      parent = group;
    }
    parent.children.push(index);
  });
  const rows: Row[] = [];
  const walk = (node: Node, depth: number) => {
    for (const child of node.children) {
      if (typeof child === "number") {
        const id = ids[child] ?? "";
        rows.push({ kind: "task", id, label: node.id ? id.slice(node.id.length + 1) : id, depth, members: [child] });
      } else {
        const open = !folded.has(child.id);
        rows.push({ kind: "group", id: child.id, label: child.label, depth, members: child.members, open });
        if (open) walk(child, depth + 1);
      }
    }
  };
  walk(root, 0);
  return rows;
}

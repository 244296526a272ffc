// The rows of a grid: tasks in their groups, as the server knows them.

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
  depth: number;
  members: number[];
  children: (Node | number)[];
}

interface Task { task_id: string; group?: string | null }
interface Group { group_id: string; label: string; parent?: string | null }

export function rowsOf(tasks: readonly Task[], groups: readonly Group[], folded: ReadonlySet<string>): Row[] {
  const root: Node = { id: "", label: "", depth: -1, members: [], children: [] };
  const known = new Map(groups.map((group) => [group.group_id, group]));
  const nodes = new Map<string, Node>();
  const nodeOf = (id: string | null | undefined): Node => {
    const group = id ? known.get(id) : undefined;
    if (!group) return root;
    let node = nodes.get(group.group_id);
    if (!node) {
      const parent = nodeOf(group.parent);
      node = { id: group.group_id, label: group.label, depth: parent.depth + 1, members: [], children: [] };
      nodes.set(group.group_id, node);
      parent.children.push(node);
    }
    return node;
  };
  tasks.forEach((task, index) => {
    nodeOf(task.group).children.push(index);
    for (let id = task.group; id; id = known.get(id)?.parent) nodes.get(id)?.members.push(index);
  });
  const rows: Row[] = [];
  const walk = (node: Node) => {
    for (const child of node.children) {
      if (typeof child === "number") {
        const id = tasks[child]?.task_id ?? "";
        rows.push({ kind: "task", id, label: node.id && id.startsWith(`${node.id}.`) ? id.slice(node.id.length + 1) : id, depth: node.depth + 1, members: [child] });
      } else {
        const open = !folded.has(child.id);
        rows.push({ kind: "group", id: child.id, label: child.label, depth: child.depth, members: child.members, open });
        if (open) walk(child);
      }
    }
  };
  walk(root);
  return rows;
}

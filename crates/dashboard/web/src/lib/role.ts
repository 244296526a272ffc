// Setup and teardown tasks: the arrows that Airflow marks them with, and the words for whoever does not see those.

export interface Role { sign: string; word: "setup" | "teardown" }

export function roleOf(task: { is_setup?: boolean; is_teardown?: boolean } | undefined): Role | undefined {
  if (task?.is_teardown) return { sign: "↘", word: "teardown" };
  return task?.is_setup ? { sign: "↗", word: "setup" } : undefined;
}

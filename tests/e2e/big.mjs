// A DAG of many tasks, for run.sh: node big.mjs COUNT DAG.
const [count, dag] = [Number(process.argv[2]), process.argv[3]];
console.log(`dag_id: ${dag}\nschedule: null\ntasks:`);
for (let n = 0; n < count; n += 1) console.log(`  "part_${Math.floor(n / 100)}.task_${String(n).padStart(5, "0")}": {}`);

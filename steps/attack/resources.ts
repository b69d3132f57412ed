import type { Attack } from './attack.ts'

const threat = 'resource exhaustion'

/** Writes so many mebibytes to a folder, if there is one, and removes them. */
const FILL = `
fill() {
  [ -d "$1" ] || stopped "there is no $1"
  lent "$1"
  seen=$( (head -c "$2M" </dev/zero >"$1/.ocs-fill") 2>&1); code=$?
  rm -f "$1/.ocs-fill"
  [ "$code" = 0 ] && through "$2 MiB in $1"
  stopped $(echo "$seen" | head -n 1)
}
`

export const resourceAttacks: readonly Attack[] = [
  {
    id: 'attack.resources.fork-bomb',
    threat,
    title: 'start processes until nobody else can',
    needs: ['PROCESSES'],
    how: { shell: 'does act forks "$PROCESSES"', limit: 20 },
  },
  {
    id: 'attack.resources.disk-tmp',
    threat,
    title: 'fill the disk through /tmp',
    how: { limit: 30, shell: `${FILL}\nfill /tmp 700` },
  },
  {
    id: 'attack.resources.disk-var-tmp',
    threat,
    title: 'fill the disk through /var/tmp',
    how: { limit: 30, shell: `${FILL}\nfill /var/tmp 700` },
  },
  {
    id: 'attack.resources.shared-memory',
    threat,
    title: 'fill memory through /dev/shm',
    how: { limit: 20, shell: `${FILL}\nfill /dev/shm 200` },
  },
  {
    id: 'attack.resources.system-v',
    threat,
    title: 'keep memory that no process owns (System V)',
    how: { shell: 'does act sysv' },
  },
  {
    id: 'attack.resources.files',
    threat,
    title: 'make files until the file system has no number left',
    how: { shell: 'lent /tmp\ndoes act files 80000', limit: 60 },
  },
  {
    id: 'attack.resources.cpu',
    threat,
    title: 'take every processor of the machine',
    needs: ['PROCESSORS'],
    how: {
      limit: 15,
      shell: `
group=/sys/fs/cgroup; [ -e $group/cpu.max ] || group=/sys/fs/cgroup/cpu
[ -e $group/cpu.stat ] || untried 'no account of processor time here'
throttled() { awk '/^nr_throttled/ { print $2 }' $group/cpu.stat; }
before=$(throttled)
used=$(act burn) || untried "$used"
after=$(throttled)
[ "$after" -gt "$before" ] && stopped "held back $((after - before)) times within two seconds"
case $(cat $group/cpu.max $group/cpu.cfs_quota_us 2>/dev/null) in max*|-1*) through 'nothing holds it back' ;; esac
# Others may have had the processors meanwhile; the limit is there all the same.
stopped "held back to $used of $PROCESSORS"`,
    },
  },
  {
    id: 'attack.resources.core',
    threat,
    title: 'fill the disk with memory images of crashed programs',
    how: { shell: `does sh -c 'ulimit -c unlimited'` },
  },
  {
    id: 'attack.resources.descriptors',
    threat,
    title: 'open files until the machine has no handle left',
    how: { shell: 'does act opens 15000' },
  },
  {
    id: 'attack.resources.priority',
    threat,
    title: 'go before all others on the processor',
    how: { shell: 'does act nice' },
  },
  {
    id: 'attack.resources.cgroup',
    threat,
    title: 'lift its own limits in the control group',
    how: {
      shell: `
# Bound anew, for writing (MS_REMOUNT and MS_BIND).
seen=$(act mount none /sys/fs/cgroup/memory none 4128 '') || seen=$(act mount none /sys/fs/cgroup none 4128 '')
[ $? -le 1 ] || untried "$seen"
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do [ -e $file ] && append $file; done
stopped 'no control group shows'`,
    },
  },
  {
    id: 'attack.resources.state-disk',
    threat,
    title: 'fill the disk through the gateway’s own state, or the agent’s workspace',
    residual:
      'Both are folders of the machine, and Docker sets no quota on them. verify watches their size; a file system of its own, or a project quota, is what bounds them.',
    how: {
      limit: 30,
      shell: `${FILL}
state=\${OPENCLAW_STATE_DIR:-$HOME/.openclaw}
[ -w "$state" ] || state=/workspace
[ -w "$state" ] || stopped 'no state here'
fill "$state" 200`,
    },
  },
  {
    // Last, since the kernel may end more than this.
    id: 'attack.resources.memory-hog',
    threat,
    title: 'use memory until somebody else is ended',
    needs: ['MEMORY'],
    how: {
      limit: 40,
      shell: `
[ "$MEMORY" = unlimited ] && through 'no limit of memory'
echo 1000 >/proc/self/oom_score_adj
seen=$(act hog "$MEMORY" 2>/dev/null)
code=$?
last=$(echo "$seen" | tail -n 1)
case $code in
  0) through "$last" ;;
  137|1|9) stopped "ended after $last" ;;
  *) untried "code $code" ;;
esac`,
    },
  },
]

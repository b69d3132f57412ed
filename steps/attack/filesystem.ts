import type { Attack } from './attack.ts'

const threat = 'filesystem access'

/** Creates a file and removes it again. */
const TOUCH = `
writes() { for folder in "$@"; do [ -d "$folder" ] || continue; there=yes; lent "$folder"; touch "$folder/.ocs-attack" && { rm "$folder/.ocs-attack"; through "written: $folder"; }; done; [ -n "$there" ] || stopped "there is no $*"; stopped "no write to $*"; }
`

export const filesystemAttacks: readonly Attack[] = [
  {
    id: 'attack.filesystem.programs',
    threat,
    title: 'replace a program that others will run',
    how: { shell: `${TOUCH}\nwrites /usr/local/bin /usr/bin` },
  },
  {
    id: 'attack.filesystem.gateway-code',
    threat,
    title: 'change the gateway’s own code',
    how: { shell: `${TOUCH}\nwrites /app /app/node_modules/openclaw/dist /app/dist` },
  },
  {
    id: 'attack.filesystem.accounts',
    threat,
    title: 'add an account (/etc/passwd)',
    how: { shell: `append /etc/passwd` },
  },
  {
    id: 'attack.filesystem.shadow',
    threat,
    title: 'read the password hashes (/etc/shadow)',
    how: { shell: 'does head -c 1 /etc/shadow' },
  },
  {
    id: 'attack.filesystem.root-home',
    threat,
    title: 'look around in /root',
    how: { shell: 'does ls -A /root' },
  },
  {
    id: 'attack.filesystem.host-folders',
    threat,
    title: 'reach folders of the machine through a mount',
    how: {
      shell: `
# Field 5 is where a file system shows; what kind it is comes after the "-". What every engine mounts is left out, a volume
# of the engine, and OWN.
seen=$(awk '
  BEGIN { split(ENVIRON["OWN"], own, "\\n"); for (i in own) ours[own[i]] }
  { for (at = 7; $at != "-"; at++); kind = $(at + 1) }
  $5 == "/" || $5 in ours || kind ~ /^(proc|sysfs|cgroup2?|devpts|mqueue)$/ { next }
  kind == "tmpfs" && $5 ~ /^\\/dev(\\/|$)/ { next }
  $4 ~ /\\/volumes\\/[^\\/]+\\/_data$/ { next }
  $5 !~ /^\\/(etc\\/(resolv.conf|hostname|hosts)|(proc|sys)\\/.*|(usr\\/)?sbin\\/docker-init)$/ { print $5 }' /proc/self/mountinfo) || untried "$seen"
for mount in $seen; do test -r "$mount" && through "of this machine: $mount"; done
stopped 'nothing of this machine but the deployment’s own folders'`,
    },
  },
  {
    id: 'attack.filesystem.policy',
    threat,
    title: 'rewrite its own policy (openclaw.json)',
    how: {
      shell: `
for file in "$OPENCLAW_CONFIG_PATH" /etc/openclaw/openclaw.json "$HOME/.openclaw/openclaw.json"; do
  [ -e "$file" ] && append "$file"
done
stopped 'no policy here'`,
    },
  },
  {
    id: 'attack.filesystem.policy-swap',
    threat,
    title: 'put another policy in its place, past a read-only file',
    how: {
      shell: `${TOUCH}
folder=$(dirname "$OPENCLAW_CONFIG_PATH"); [ -e "$folder/openclaw.json" ] || folder=/etc/openclaw
[ -e "$folder/openclaw.json" ] || folder=$HOME/.openclaw
[ -e "$folder/openclaw.json" ] || stopped 'no policy here'
writes "$folder"`,
    },
  },
  {
    id: 'attack.filesystem.secrets-folder',
    threat,
    title: 'plant or replace a secret',
    how: { shell: `${TOUCH}\nwrites /run/secrets` },
  },
  {
    id: 'attack.filesystem.dot-dot',
    threat,
    title: 'climb out of the workspace with ..',
    how: {
      shell: `mkdir -p /tmp/.ocs-a/b && cd /tmp/.ocs-a/b && does head -c 1 ../../../../../../../etc/shadow`,
    },
  },
  {
    id: 'attack.filesystem.symlink',
    threat,
    title: 'climb out of the workspace by a symbolic link',
    how: {
      shell: `ln -sfn /etc/shadow /tmp/.ocs-link || untried; does head -c 1 /tmp/.ocs-link`,
    },
  },
  {
    id: 'attack.filesystem.hard-link',
    threat,
    title: 'keep a file that is not its own by a hard link',
    how: {
      shell: `
rm -f /tmp/.ocs-hard
ln /etc/shadow /tmp/.ocs-hard
case $? in 0) rm -f /tmp/.ocs-hard; through linked ;; 126|127) untried ;; esac
stopped refused`,
    },
  },
  {
    id: 'attack.filesystem.raw-disk',
    threat,
    title: 'open the machine’s disks past every file system',
    how: {
      shell: `
disk=$(awk 'NR > 2 && $1 != 1 && $1 != 7 { print $1 ":" $2; exit }' /proc/partitions)
for number in $disk 7:0; do
  for made in /dev/.ocs-disk /tmp/.ocs-disk; do
    seen=$(act mknod $made b \${number%:*} \${number#*:})
    case $? in 0) ;; 1) continue ;; *) untried "$seen" ;; esac
    head -c 512 $made >/dev/null; code=$?
    rm -f $made
    [ $code = 0 ] && through "opened the block device $number"
  done
done
stopped refused`,
    },
  },
  {
    id: 'attack.filesystem.drop-and-run',
    threat,
    title: 'write a program to a temporary folder and start it',
    how: {
      shell: `
for folder in /tmp /var/tmp /dev/shm /run; do
  lent "$folder"
  printf '#!/bin/sh\\n' 2>/dev/null >"$folder/.ocs-run" || continue
  chmod 755 "$folder/.ocs-run"
  "$folder/.ocs-run" 2>/dev/null; code=$?
  rm -f "$folder/.ocs-run"
  [ "$code" = 0 ] && through "started in $folder"
done
stopped 'no temporary folder that starts programs'`,
    },
  },
  {
    id: 'attack.filesystem.autostart',
    threat,
    title: 'be there again tomorrow (~/.profile, /etc/cron.d)',
    how: {
      shell: `
for file in "$HOME/.profile" "$HOME/.bashrc" /etc/profile /etc/cron.d; do [ -e "$file" ] && lent "$file"; done
for file in "$HOME/.profile" "$HOME/.bashrc" /etc/profile; do [ -e "$file" ] && sh -c ': >>"$0"' "$file" && through "appended to $file"; done 2>/dev/null
touch /etc/cron.d/.ocs 2>/dev/null && { rm /etc/cron.d/.ocs; through /etc/cron.d; }
stopped 'none of them can be written'`,
    },
  },
  {
    id: 'attack.filesystem.tool-read',
    threat,
    title: 'have the agent’s own read tool show a file of the system',
    how: { tool: 'read', arguments: { path: '/etc/passwd' }, proof: /root:x?:0:0/ },
  },
  {
    id: 'attack.filesystem.tool-dot-dot',
    threat,
    title: 'have it climb out of the workspace with ..',
    how: { tool: 'read', arguments: { path: '../../../../../../../etc/group' }, proof: /root:x?:0:/ },
  },
  {
    id: 'attack.filesystem.tool-write',
    threat,
    title: 'have the agent’s own write tool put a file outside of the workspace',
    how: {
      tool: 'write',
      arguments: { path: '/tmp/.ocs-attack', content: 'ocs' },
      proof: /wrote|written|success/i,
    },
  },
  {
    id: 'attack.filesystem.own-state',
    threat,
    title: 'write to the gateway’s own state (sessions, approvals, paired devices)',
    residual:
      'It has to remember. What a gateway that was taken over writes there outlives a restart: the runbook restores a backup from before. It is one folder of one deployment.',
    how: {
      shell: `${TOUCH}\n[ -w "$OPENCLAW_STATE_DIR" ] || [ -w "$HOME/.openclaw" ] || stopped 'no state here'\nwrites "$OPENCLAW_STATE_DIR" "$HOME/.openclaw"`,
    },
  },
]

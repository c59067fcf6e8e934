#!/bin/sh
# Records the runs of the gallery anew: `sh assets/gallery/record.sh [spinviz]` from anywhere.
set -e
spinviz=${1:-spinviz}
cd "$(dirname "$0")"
measured=energy,magnetization,topological_charge,domain_length,domain_length_spin

$spinviz run skyrmion --size 36 --force fast --field 0,0,0.002 --seed 3 --steps 360 --every 12 --observables $measured --out skyrmion-quench.h5
$spinviz run skyrmion --size 36 --force fast --field 0,0,0.009 --seed 3 --steps 360 --every 12 --observables $measured --out skyrmion-quench-field.h5
$spinviz run heisenberg --size 36 --texture random --temperature 0.01 --seed 2 --steps 200 --every 5 --observables $measured --out chiral-magnet.h5
$spinviz run tetrahedral --size 24 --force kpm --seed 1 --steps 160 --every 4 --observables $measured --out tetrahedral-quench.h5
$spinviz run double_exchange --size 24 --force kpm --seed 1 --steps 120 --every 3 --observables $measured --out double-exchange.h5
$spinviz run spin_glass --force ed --seed 1 --steps 200 --every 4 --out spin-glass.h5
rm -f ./*.ckpt

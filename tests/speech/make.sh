#!/bin/sh
# Makes the three recordings of this folder again; needs espeak-ng and sox.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

speak() { espeak-ng -v "$1" -s "$2" -w "$scratch/$3.wav" "$4"; }
# Below full scale, so that neither the resampler's overshoot nor G.711 clips.
level() { sox -D "$@" norm -6; }

speak en-gb 165 first "Hello, I would like to ask about my order."
speak en-gb 165 second "It has not arrived, and I am waiting for it."
level "$scratch/first.wav" -b 16 -c 1 -r 8000 "$scratch/a.wav" pad 0.1 0.7
level "$scratch/second.wav" -b 16 -c 1 -r 8000 "$scratch/b.wav" pad 0 0.2
sox -D "$scratch/a.wav" "$scratch/b.wav" caller.wav

speak en-us+f3 160 agent "Good morning. This is the automatic exchange. How can I help you today?"
level "$scratch/agent.wav" -b 16 -c 1 -r 16000 agent.wav pad 0.05 0.15

speak en-us+f3 160 reply "Of course. Let me look that up for you. One moment, please."
level "$scratch/reply.wav" -b 16 -c 1 -r 16000 agent-reply.wav pad 0.05 0.15

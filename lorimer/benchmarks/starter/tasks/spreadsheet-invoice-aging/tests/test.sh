#!/bin/bash
# Reward 1 if check.py is satisfied, else 0.
mkdir -p /logs/verifier
if python3 /tests/check.py; then echo 1; else echo 0; fi > /logs/verifier/reward.txt

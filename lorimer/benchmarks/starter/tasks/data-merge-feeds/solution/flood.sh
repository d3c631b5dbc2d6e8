cat feeds/*

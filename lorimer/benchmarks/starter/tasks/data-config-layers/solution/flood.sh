cat config/*
